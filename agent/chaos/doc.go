// Package chaos has only tests: three agents of one tenant, as processes, under whatever may happen to them.
package chaos
