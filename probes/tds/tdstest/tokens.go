package tdstest

import (
	"encoding/binary"
	"unicode/utf16"
)

func encode(text string) []byte {
	var m []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		m = binary.LittleEndian.AppendUint16(m, unit)
	}
	return m
}

func short(text string) []byte { return append([]byte{byte(len(encode(text)) / 2)}, encode(text)...) }

func long(text string) []byte {
	return append(binary.LittleEndian.AppendUint16(nil, uint16(len(encode(text))/2)), encode(text)...)
}

func token(kind byte, body []byte) []byte {
	return append(binary.LittleEndian.AppendUint16([]byte{kind}, uint16(len(body))), body...)
}

// Join puts tokens together.
func Join(tokens ...[]byte) []byte {
	var all []byte
	for _, t := range tokens {
		all = append(all, t...)
	}
	return all
}

// Error is the token of an error.
func Error(number int, class byte, message string) []byte {
	body := binary.LittleEndian.AppendUint32(nil, uint32(number))
	body = append(body, 1, class)
	body = append(body, Join(long(message), short("acme-sql"), short(""))...)
	return token(0xaa, binary.LittleEndian.AppendUint32(body, 1))
}

// Info is the token of a message that is no error.
func Info(message string) []byte {
	body := Error(5701, 10, message)
	body[0] = 0xab
	return body
}

// Done ends an answer: status 0x10 says that rows were counted, 2 that there was an error, 1 that there is more.
func Done(status uint16, rows uint64) []byte {
	m := binary.LittleEndian.AppendUint16([]byte{0xfd}, status)
	m = binary.LittleEndian.AppendUint16(m, 0xc1)
	return binary.LittleEndian.AppendUint64(m, rows)
}

// Refuse is the answer to a log-in that ends in an error.
func Refuse(number int, class byte, message string) []byte {
	return Join(Error(number, class, message), Done(2, 0))
}

// Accept is the answer to a log-in that is accepted.
func Accept() []byte {
	return Join(database("PerfionDB"), Info("Changed database context."), loginAck(), packetSize(), Done(0, 0))
}

// AcceptToken is the same for an access token.
func AcceptToken() []byte {
	return Join(database("PerfionDB"), loginAck(), []byte{0xae, 2, 0, 0, 0, 0, 0xff}, Done(0, 0))
}

// Route is the answer to a log-in that is redirected.
func Route(host string, port uint16) []byte {
	value := append([]byte{0, byte(port), byte(port >> 8)}, long(host)...)
	body := append([]byte{20}, binary.LittleEndian.AppendUint16(nil, uint16(len(value)))...)
	body = append(append(body, value...), 0, 0)
	return Join(database("PerfionDB"), loginAck(), token(0xe3, body), Done(0, 0))
}

func database(name string) []byte {
	return token(0xe3, Join([]byte{1}, short(name), short("master")))
}

func packetSize() []byte { return token(0xe3, Join([]byte{4}, short("4096"), short("4096"))) }

func loginAck() []byte {
	return token(0xad, Join([]byte{1, 0x74, 0, 0, 4}, short("Microsoft SQL Server"), []byte{16, 0, 0x03, 0xe8}))
}

// Columns is the description of one column of type int.
func Columns() []byte { return []byte{0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0x38, 0} }

// Row is a row of it.
func Row() []byte { return []byte{0xd1, 1, 0, 0, 0} }

// OneRow is the answer to SELECT 1, after SET NOCOUNT OFF.
func OneRow() []byte { return Join(Done(1, 0), Columns(), Row(), Done(0x10, 1)) }
