// WordPress Playground listens on every address: here, on loopback alone.
const { Server } = require('node:net');
const listen = Server.prototype.listen;
Server.prototype.listen = function (...words) {
	const onPort = typeof words[0] === 'number' && typeof words[1] !== 'string';
	return onPort ? listen.call(this, words[0], '127.0.0.1', ...words.slice(1)) : listen.apply(this, words);
};
