package tds

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Queries that began to answer.
var (
	// ErrRows is a query that failed after its columns had come.
	ErrRows = errors.New("the query failed while its rows were read")
	// ErrTooMuch is a query whose rows are longer than what is read of them.
	ErrTooMuch = fmt.Errorf("the query returns more than %d KiB", maxRows>>10)
)

// Query runs one batch and returns how many rows its last statement returned. Columns and rows are read and not looked at;
// more than 256 KiB are ErrTooMuch. Errors of the server are ServerErrors.
func (c *Conn) Query(text string) (rows uint64, err error) {
	request := batchHeaders()
	// The number of rows is told unless the server's default is that it is not.
	request = append(request, encode("SET NOCOUNT OFF; "+text)...)
	if err := writeMessage(c.stream, packetBatch, request); err != nil {
		return 0, err
	}
	a := c.answer(maxRows)
	for !a.done && !a.columns {
		if err := a.next(); err != nil {
			return 0, err
		}
	}
	if a.columns {
		if err := a.tail(); err != nil {
			if _, long := errors.AsType[*TooLongError](err); long {
				err = ErrTooMuch
			}
			return 0, err
		}
	}
	switch {
	case len(a.errors) > 0:
		return 0, a.errors
	case a.failed:
		return 0, ErrRows
	}
	return a.rows, nil
}

// tail reads to the end of the message, whose last token is always a DONE of known length, so that columns and rows of types
// that this package has never heard of need not be understood.
func (a *answer) tail() error {
	var last [doneLen]byte
	n := 0
	piece := make([]byte, 2<<10)
	for {
		got, err := a.in.Read(piece)
		n += got
		if got >= doneLen {
			copy(last[:], piece[got-doneLen:got])
		} else {
			copy(last[:], last[got:])
			copy(last[doneLen-got:], piece[:got])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if n < doneLen || last[0] < tokenDone {
		return violation("the answer to the query does not end as it must")
	}
	a.finish(last[1:])
	return nil
}

// batchHeaders says that the batch is in no transaction ([MS-TDS] 2.2.5.3).
func batchHeaders() []byte {
	le := binary.LittleEndian
	m := le.AppendUint32(nil, 22)
	m = le.AppendUint32(m, 18)
	m = le.AppendUint16(m, 2)
	m = le.AppendUint64(m, 0)
	return le.AppendUint32(m, 1)
}
