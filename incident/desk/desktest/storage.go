package desktest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/firstcall-agent/firstcall/incident"
)

// Storage is a desk.Storage in memory. The zero value is empty and ready; it is safe for concurrent use.
type Storage struct {
	mu    sync.Mutex
	cases []incident.StoredCase
	last  map[int]int // number by year
}

// CreateDeskCase implements desk.Storage.
func (s *Storage) CreateDeskCase(ctx context.Context, c incident.StoredCase) (incident.StoredCase, error) {
	if err := ctx.Err(); err != nil {
		return incident.StoredCase{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.index(func(known incident.StoredCase) bool { return known.Key == c.Key }); i >= 0 {
		return clone(s.cases[i]), nil
	}
	if s.last == nil {
		s.last = map[int]int{}
	}
	year := c.Created.UTC().Year()
	s.last[year]++
	c = clone(c)
	c.Number = fmt.Sprintf("FC-%d-%06d", year, s.last[year])
	s.cases = append(s.cases, c)
	return clone(c), nil
}

// DeskCaseByKey implements desk.Storage.
func (s *Storage) DeskCaseByKey(ctx context.Context, key string) (incident.StoredCase, error) {
	return s.read(ctx, func(c incident.StoredCase) bool { return c.Key == key })
}

// DeskCaseByNumber implements desk.Storage.
func (s *Storage) DeskCaseByNumber(ctx context.Context, number string) (incident.StoredCase, error) {
	return s.read(ctx, func(c incident.StoredCase) bool { return c.Number == number })
}

// UpdateDeskCase implements desk.Storage.
func (s *Storage) UpdateDeskCase(ctx context.Context, number string, change func(*incident.StoredCase) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(func(c incident.StoredCase) bool { return c.Number == number })
	if i < 0 {
		return incident.ErrNotFound
	}
	c := clone(s.cases[i])
	if err := change(&c); err != nil {
		return err
	}
	s.cases[i] = clone(c)
	return nil
}

// Live returns how many cases with that key are not over.
func (s *Storage) Live(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.cases {
		if c.Key == key && c.State.Live() {
			n++
		}
	}
	return n
}

func (s *Storage) read(ctx context.Context, match func(incident.StoredCase) bool) (incident.StoredCase, error) {
	if err := ctx.Err(); err != nil {
		return incident.StoredCase{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(match)
	if i < 0 {
		return incident.StoredCase{}, incident.ErrNotFound
	}
	return clone(s.cases[i]), nil
}

func (s *Storage) index(match func(incident.StoredCase) bool) int {
	return slices.IndexFunc(s.cases, match)
}

// clone returns a copy that shares nothing.
func clone(c incident.StoredCase) incident.StoredCase {
	c.Log, c.Seqs = slices.Clone(c.Log), slices.Clone(c.Seqs)
	return c
}
