package probes

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// classOf sorts the errors of Winsock; syscall's own E constants are inventions of Go that no system call returns.
func classOf(errno syscall.Errno) errnoClass {
	switch errno {
	case windows.WSAECONNREFUSED:
		return errnoRefused
	case windows.WSAECONNRESET, windows.WSAECONNABORTED, windows.WSAENETRESET, windows.WSAENOTCONN, windows.WSAESHUTDOWN:
		return errnoReset
	case windows.WSAETIMEDOUT:
		return errnoTimeout
	case windows.WSAEHOSTUNREACH, windows.WSAENETUNREACH, windows.WSAEHOSTDOWN:
		return errnoUnreachable
	case windows.WSAEACCES, windows.WSAEINVAL, windows.WSAENETDOWN, windows.WSAEAFNOSUPPORT, windows.WSAEPROTONOSUPPORT:
		return errnoRoute
	case windows.WSAEADDRNOTAVAIL, windows.WSAEADDRINUSE, windows.WSAEMFILE, windows.WSAENOBUFS:
		return errnoResources
	default:
		return errnoOther
	}
}
