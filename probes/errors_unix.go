//go:build !windows

package probes

import "syscall"

// classOf sorts the errors of connect(2), read(2) and socket(2). EINVAL on connect is Linux's word for a blackhole route.
func classOf(errno syscall.Errno) errnoClass {
	switch errno {
	case syscall.ECONNREFUSED:
		return errnoRefused
	case syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ENOTCONN:
		return errnoReset
	case syscall.ETIMEDOUT:
		return errnoTimeout
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN:
		return errnoUnreachable
	case syscall.EACCES, syscall.EPERM, syscall.EINVAL, syscall.ENETDOWN, syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT:
		return errnoRoute
	case syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
		return errnoResources
	default:
		return errnoOther
	}
}
