//go:build servers && linux

package agent

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/firstcall-agent/firstcall/incident"
	"github.com/firstcall-agent/firstcall/incident/store"
)

// A disk that is full when the database goes away keeps no agent from judging alone: it does so in memory.
func TestAFullDiskKeepsNobodyFromJudgingAlone(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	r := openRefuge(t, dir)
	r.keep(store.Snapshot{At: time.Now(), State: []byte("{}"), Incidents: []incident.Incident{{ID: "known", Class: incident.Availability, Root: "backend"}}})
	full, err := os.Create(filepath.Join(dir, "full"))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = full.Write(block)
	}
	if err := full.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.adopt(t.Context()); err != nil || r.where() != "memory" {
		t.Errorf("it is kept in %s (%v)", r.where(), err)
	}
	if all, err := r.own.CountIncidents(t.Context(), store.IncidentFilter{}); err != nil || all != 1 {
		t.Errorf("%d incidents, want that of the snapshot (%v)", all, err)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
}
