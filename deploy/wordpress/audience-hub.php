<?php
/**
 * Plugin Name: Audience hub
 * Description: Lets the audience hub say who is in which audience. Copy this file into wp-content/mu-plugins.
 * Version: 1
 * License: Apache-2.0
 *
 * Each audience of a user is a row of their meta `cdp_segments`, so that two changes never overwrite each other; mapped
 * fields become `cdp_field_…`. It makes and deletes no users and touches neither roles nor passwords. Whoever calls must
 * be allowed `manage_audiences`, which everybody has who may edit users.
 */

defined( 'ABSPATH' ) || exit;

const AUDIENCE_HUB_META   = 'cdp_segments';
const AUDIENCE_HUB_FIELDS = 'cdp_field_';

add_filter( 'user_has_cap', function ( $allowed ) {
	return empty( $allowed['edit_users'] ) ? $allowed : $allowed + array( 'manage_audiences' => true );
} );

add_action( 'rest_api_init', function () {
	register_meta( 'user', AUDIENCE_HUB_META, array(
		'type'          => 'string',
		'single'        => false,
		'show_in_rest'  => true,
		'description'   => 'The audiences that the user is in.',
		'auth_callback' => 'audience_hub_may',
	) );
	$by    = array( 'type' => 'string', 'enum' => array( 'email', 'id' ), 'default' => 'email' );
	$rows  = array( 'type' => 'array', 'default' => array(), 'maxItems' => 1000 );
	$keys  = $rows + array( 'items' => array( 'type' => 'string' ) );
	$page  = array( 'type' => 'integer', 'minimum' => 1, 'default' => 1 );
	$adds  = $rows + array( 'items' => array(
		'type'                 => 'object',
		'required'             => array( 'user' ),
		'additionalProperties' => false,
		'properties'           => array( 'user' => array( 'type' => 'string' ), 'fields' => array( 'type' => 'object' ) ),
	) );
	$route = function ( $path, $methods, $does, $args ) {
		register_rest_route( 'hub/v1', $path, array(
			'methods'             => $methods,
			'callback'            => $does,
			'permission_callback' => 'audience_hub_may',
			'args'                => $args,
		) );
	};
	$route( '/status', 'GET', 'audience_hub_status', array() );
	$route( '/erase', 'POST', 'audience_hub_erase', array( 'by' => $by, 'users' => $keys ) );
	$members = '/audiences/(?P<slug>[A-Za-z0-9_-]{1,191})/members';
	$route( $members, 'POST', 'audience_hub_change', array( 'by' => $by, 'add' => $adds, 'remove' => $keys ) );
	$route( $members, 'GET', 'audience_hub_members', array( 'by' => $by, 'page' => $page ) );
} );

function audience_hub_may() {
	return current_user_can( 'manage_audiences' );
}

function audience_hub_status() {
	return array( 'plugin' => 1, 'site' => get_bloginfo( 'name' ), 'user' => wp_get_current_user()->user_login );
}

/** One word for each row, in their order: done, unknown (no such user) or refused. */
function audience_hub_change( WP_REST_Request $request ) {
	$slug    = $request['slug'];
	$added   = array();
	$removed = array();
	foreach ( $request['add'] as $row ) {
		$user    = audience_hub_user( $request['by'], $row['user'] );
		$added[] = $user ? audience_hub_put( $user->ID, $slug, (array) ( $row['fields'] ?? array() ) ) : 'unknown';
	}
	foreach ( $request['remove'] as $name ) {
		$user = audience_hub_user( $request['by'], $name );
		if ( $user ) {
			delete_user_meta( $user->ID, AUDIENCE_HUB_META, $slug );
		}
		$removed[] = $user ? 'done' : 'unknown';
	}
	return array( 'add' => $added, 'remove' => $removed );
}

function audience_hub_put( $user, $slug, $fields ) {
	if ( preg_grep( '/^[a-z0-9_]{1,64}$/D', array_keys( $fields ), PREG_GREP_INVERT ) ) {
		return 'refused';
	}
	foreach ( $fields as $name => $value ) {
		null === $value
			? delete_user_meta( $user, AUDIENCE_HUB_FIELDS . $name )
			: update_user_meta( $user, AUDIENCE_HUB_FIELDS . $name, wp_slash( $value ) );
	}
	if ( ! in_array( $slug, get_user_meta( $user, AUDIENCE_HUB_META ), true ) ) {
		add_user_meta( $user, AUDIENCE_HUB_META, $slug );
	}
	return 'done';
}

function audience_hub_members( WP_REST_Request $request ) {
	$found = new WP_User_Query( array(
		'meta_key'    => AUDIENCE_HUB_META, // phpcs:ignore WordPress.DB.SlowDBQuery
		'meta_value'  => $request['slug'], // phpcs:ignore WordPress.DB.SlowDBQuery
		'orderby'     => 'ID',
		'number'      => 500,
		'paged'       => $request['page'],
		'count_total' => true,
	) );
	$named = array_map( function ( $user ) use ( $request ) {
		return 'email' === $request['by'] ? strtolower( $user->user_email ) : (string) $user->ID;
	}, $found->get_results() );
	return array( 'members' => $named, 'total' => (int) $found->get_total(), 'pages' => (int) ceil( $found->get_total() / 500 ) );
}

/** Forgets what the hub has said of them; the users stay. */
function audience_hub_erase( WP_REST_Request $request ) {
	foreach ( $request['users'] as $name ) {
		$user = audience_hub_user( $request['by'], $name );
		foreach ( $user ? array_keys( get_user_meta( $user->ID ) ) : array() as $key ) {
			if ( AUDIENCE_HUB_META === $key || 0 === strpos( $key, AUDIENCE_HUB_FIELDS ) ) {
				delete_user_meta( $user->ID, $key );
			}
		}
	}
	return array( 'erased' => count( $request['users'] ) );
}

function audience_hub_user( $by, $name ) {
	return 'email' === $by ? get_user_by( 'email', $name ) : ( ctype_digit( $name ) ? get_user_by( 'id', (int) $name ) : false );
}
