package pgsql

import "testing"

// TestTranslate states what changes on the way from SQLite to PostgreSQL.
func TestTranslate(t *testing.T) {
	for given, want := range map[string]string{
		"SELECT 1":                            "SELECT 1",
		"SELECT ? WHERE a = ? AND b = 'why?'": "SELECT $1 WHERE a = $2 AND b = 'why?'",
		"UPDATE p SET s = ?1 WHERE i = ?2 AND s < ?1 - ?3":                    "UPDATE p SET s = $1 WHERE i = $2 AND s < $1 - $3",
		"INSERT INTO a (b) VALUES (?) ON CONFLICT (b) DO UPDATE SET b = 1":    "INSERT INTO a (b) VALUES ($1) ON CONFLICT (tenant, b) DO UPDATE SET b = 1",
		"INSERT INTO seeds (probe) VALUES (?) ON CONFLICT (probe) DO NOTHING": "INSERT INTO seeds (probe) VALUES ($1) ON CONFLICT (tenant, voter, probe) DO NOTHING",
		"INSERT INTO a (b) VALUES (?) ON CONFLICT DO NOTHING":                 "INSERT INTO a (b) VALUES ($1) ON CONFLICT DO NOTHING",
		`SELECT 1 WHERE a LIKE ? ESCAPE '\'`:                                  `SELECT 1 WHERE a ILIKE $1 ESCAPE '\'`,
		"SELECT $1":                                                           "SELECT $1",
	} {
		if got := Translate(given); got != want {
			t.Errorf("%s\n got %s\nwant %s", given, got, want)
		}
	}
}

func TestDecodeRefusesWrongSizes(t *testing.T) {
	for oid := range sizes {
		if v, err := decode(oid, []byte{1, 2, 3}); err == nil {
			t.Errorf("type %d: %v", oid, v)
		}
	}
}
