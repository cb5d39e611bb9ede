// The token stays in this tab: GraphiQL keeps headers only while the page is open.
const DEFAULT_QUERY = `# Put your token into the headers pane below: {"Authorization": "Bearer TOKEN"}
# The documentation (the book on the left) appears once the token is there: press "Re-fetch GraphQL schema".
{
  segments(first: 10) {
    totalCount
    nodes {
      key
      rule
      explanation
      evaluation { size entered left }
    }
  }
}
`;

const address = new URL(window.location.pathname, window.location.href);
const socket = new URL(address);
socket.protocol = address.protocol === "https:" ? "wss:" : "ws:";

const fetcher = GraphiQL.createFetcher({ url: address.toString(), subscriptionUrl: socket.toString() });

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultQuery: DEFAULT_QUERY,
    defaultHeaders: '{\n  "Authorization": "Bearer "\n}',
    defaultEditorToolsVisibility: "headers",
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: false,
  }),
);
