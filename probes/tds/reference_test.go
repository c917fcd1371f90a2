package tds_test

import (
	"context"
	"crypto/tls"
	"database/sql"
	"net"
	"net/url"
	"strings"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"github.com/firstcall-agent/firstcall/probes/tds"
	"github.com/firstcall-agent/firstcall/probes/tds/tdstest"
)

// TestReference holds this package and its stand-in against Microsoft's own driver: the driver takes the stand-in for a server,
// and what the two clients say of an account is the same.
func TestReference(t *testing.T) {
	for name, c := range map[string]struct {
		strict bool
		token  string
	}{
		"tds 7.4, password":     {},
		"tds 7.4, access token": {token: "eyJ.a.b"},
		"tds 8.0, password":     {strict: true},
		"tds 8.0, access token": {strict: true, token: strings.Repeat("eyJ", 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []tdstest.Request
			cert, roots := certificate(t)
			server := &tdstest.Server{
				TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Strict: c.strict, FedAuth: true,
				Login: func(r tdstest.Request) []byte {
					seen = append(seen, r)
					if c.token != "" {
						return tdstest.AcceptToken()
					}
					return tdstest.Accept()
				},
				Query: func(text string) []byte {
					if strings.HasPrefix(text, "SET NOCOUNT OFF; ") {
						return tdstest.OneRow()
					}
					return tdstest.Join(tdstest.Columns(), tdstest.Row(), tdstest.Done(0x10, 1))
				},
			}
			theirs(t, server, &tls.Config{RootCAs: roots, ServerName: "localhost"}, c.strict, c.token)
			ours(t, server, &tls.Config{RootCAs: roots, ServerName: "localhost"}, c.strict, c.token)
			if len(seen) != 2 {
				t.Fatalf("%d log-ins", len(seen))
			}
			seen[0].Host, seen[0].Lib, seen[1].Host, seen[1].Lib = "", "", "", "" // they name themselves
			if seen[0] != seen[1] {
				t.Errorf("the driver sends\n%+v\nthis package sends\n%+v", seen[0], seen[1])
			}
		})
	}
}

func theirs(t *testing.T, server *tdstest.Server, config *tls.Config, strict bool, token string) {
	t.Helper()
	dsn := url.URL{Scheme: "sqlserver", Host: "localhost", RawQuery: "database=PerfionDB&app+name=firstcall"}
	if token == "" {
		dsn.User = url.UserPassword("probe", "pä$$ word")
	}
	parameters, err := msdsn.Parse(dsn.String())
	if err != nil {
		t.Fatal(err)
	}
	parameters.Encryption, parameters.TLSConfig = msdsn.EncryptionRequired, config
	if strict {
		parameters.Encryption = msdsn.EncryptionStrict
	}
	connector := mssql.NewConnectorConfig(parameters)
	if token != "" {
		if connector, err = mssql.NewSecurityTokenConnector(parameters, func(context.Context) (string, error) { return token, nil }); err != nil {
			t.Fatal(err)
		}
	}
	connector.Dialer = dialer(func() net.Conn { return serve(t, server) })
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	var one int
	if err := db.QueryRowContext(t.Context(), "SELECT 1").Scan(&one); err != nil || one != 1 {
		t.Fatalf("Microsoft's driver reads %d, %v from the stand-in", one, err)
	}
}

func ours(t *testing.T, server *tdstest.Server, config *tls.Config, strict bool, token string) {
	t.Helper()
	conn := open(t, server, config, strict, token != "")
	login := tds.Login{Server: "localhost", Database: "PerfionDB", App: "firstcall", User: "probe", Password: "pä$$ word"}
	if token != "" {
		login = tds.Login{Server: "localhost", Database: "PerfionDB", App: "firstcall", Token: token}
	}
	session, err := conn.Login(login)
	if err != nil {
		t.Fatal(err)
	}
	if want := (tds.Session{Program: "Microsoft SQL Server", Version: tds.Version{Major: 16, Build: 1000}, Database: "PerfionDB"}); session != want {
		t.Errorf("session is %+v, want %+v", session, want)
	}
	if rows, err := conn.Query("SELECT 1"); err != nil || rows != 1 {
		t.Errorf("query returns %d rows, %v", rows, err)
	}
}

type dialer func() net.Conn

func (d dialer) DialContext(context.Context, string, string) (net.Conn, error) { return d(), nil }

// HostDialer is marked by this method; without it the driver looks names up itself.
func (dialer) HostName() string { return "localhost" }
