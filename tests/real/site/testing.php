<?php
/** Only for the tests: a site on loopback without https, and a route that makes its users and a password for the hub. */

add_filter( 'wp_is_application_passwords_available', '__return_true' );

add_action( 'rest_api_init', function () {
	register_rest_route( 'testing/v1', '/prepare', array(
		'methods'             => 'POST',
		'permission_callback' => '__return_true',
		'callback'            => function ( $request ) {
			add_role( 'hub', 'Hub', array( 'read' => true, 'manage_audiences' => true ) );
			$ids = array();
			foreach ( $request['users'] as $login => $role ) {
				$found         = get_user_by( 'login', $login );
				$ids[ $login ] = $found ? $found->ID : wp_insert_user( array(
					'user_login' => $login,
					'user_email' => "$login@example.com",
					'user_pass'  => wp_generate_password(),
					'role'       => $role,
				) );
			}
			$passwords = array();
			foreach ( $request['users'] as $login => $role ) {
				list( $passwords[ $login ] ) = WP_Application_Passwords::create_new_application_password( $ids[ $login ], array( 'name' => wp_generate_uuid4() ) );
			}
			return array( 'ids' => $ids, 'passwords' => $passwords );
		},
	) );
	register_rest_route( 'testing/v1', '/users', array(
		'methods'             => 'GET',
		'permission_callback' => '__return_true',
		'callback'            => function () {
			return array_map( function ( $user ) {
				return array( 'login' => $user->user_login, 'roles' => $user->roles, 'hash' => md5( $user->user_pass ), 'meta' => get_user_meta( $user->ID ) );
			}, get_users() );
		},
	) );
} );
