package pgsql

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Types whose binary form is read, by their object identifiers (pg_type.dat). Others are read as text.
const (
	boolType, byteaType, int8Type, int2Type, int4Type, textType = 16, 17, 20, 21, 23, 25
	timestampType, timestamptzType                              = 1114, 1184
)

const textFormat, binaryFormat = 0, 1

// epoch is what a time's microseconds count from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func format(oid uint32) int16 {
	switch oid {
	case boolType, byteaType, int8Type, int2Type, int4Type, textType, timestampType, timestamptzType:
		return binaryFormat
	}
	return textFormat
}

// encode returns the arguments as the server takes them.
func encode(d *pgconn.StatementDescription, args []driver.NamedValue) (values [][]byte, formats []int16, err error) {
	if len(args) != len(d.ParamOIDs) {
		return nil, nil, fmt.Errorf("pgsql: %d arguments for a statement that takes %d", len(args), len(d.ParamOIDs))
	}
	values, formats = make([][]byte, len(args)), make([]int16, len(args))
	for n, a := range args {
		bytes := d.ParamOIDs[n] == byteaType
		if bytes {
			formats[n] = binaryFormat
		}
		switch v := a.Value.(type) {
		case nil:
		case int64:
			values[n] = strconv.AppendInt(nil, v, 10)
		case bool:
			values[n] = strconv.AppendBool(nil, v)
		case []byte:
			if !bytes {
				v = []byte(storable(string(v)))
			}
			values[n] = v
		case string:
			if !bytes {
				v = storable(v)
			}
			values[n] = []byte(v)
		case time.Time:
			values[n] = v.UTC().AppendFormat(nil, "2006-01-02 15:04:05.999999Z07:00")
		default:
			return nil, nil, fmt.Errorf("pgsql: argument %d is a %T", n+1, v)
		}
	}
	return values, formats, nil
}

// storable replaces what a text column does not take, as json.Marshal does in a body: bytes that are no UTF-8, and U+0000.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "\ufffd")
}

// rows reads what a query found, as it comes.
type rows struct {
	c      *conn
	d      *pgconn.StatementDescription
	reader *pgconn.ResultReader
	cancel context.CancelFunc
}

// Columns implements driver.Rows.
func (r *rows) Columns() []string {
	names := make([]string, len(r.d.Fields))
	for n, f := range r.d.Fields {
		names[n] = f.Name
	}
	return names
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	defer r.cancel()
	_, err := r.reader.Close()
	return r.c.checked(err)
}

// Next implements driver.Rows. Bytes and texts are the connection's memory until the next call.
func (r *rows) Next(dest []driver.Value) error {
	if !r.reader.NextRow() {
		if err := r.Close(); err != nil {
			return err
		}
		return io.EOF
	}
	for n, v := range r.reader.Values() {
		var err error
		if dest[n], err = decode(r.d.Fields[n].DataTypeOID, v); err != nil {
			return err
		}
	}
	return nil
}

// sizes are those of the types that have one.
var sizes = map[uint32]int{boolType: 1, int2Type: 2, int4Type: 4, int8Type: 8, timestampType: 8, timestamptzType: 8}

func decode(oid uint32, v []byte) (driver.Value, error) {
	if v == nil {
		return nil, nil
	}
	if size := sizes[oid]; size != 0 && size != len(v) {
		return nil, fmt.Errorf("pgsql: a value of type %d has %d bytes", oid, len(v))
	}
	switch oid {
	case boolType:
		return v[0] != 0, nil
	case int2Type:
		return int64(int16(binary.BigEndian.Uint16(v))), nil //nolint:gosec // two's complement is meant
	case int4Type:
		return int64(int32(binary.BigEndian.Uint32(v))), nil //nolint:gosec // two's complement is meant
	case int8Type:
		return int64(binary.BigEndian.Uint64(v)), nil //nolint:gosec // two's complement is meant
	case timestampType, timestamptzType:
		return epoch.Add(time.Duration(int64(binary.BigEndian.Uint64(v))) * time.Microsecond), nil //nolint:gosec // two's complement is meant
	}
	return v, nil
}
