package fleet

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestWithin states that the numbers add up where a cause reaches further than what tells most about it.
func TestWithin(t *testing.T) {
	tenants := tenantsIn(30, "weu")
	all := faults(30, "weu", "virtual-desktop", 0)
	for n := range 10 { // one tenant of a hundred in each of ten other regions
		region := fmt.Sprint("r", n)
		tenants = append(tenants, tenantsIn(100, region)...)
		all = append(all, fault(region+"-1", "virtual-desktop", 3+6*n))
	}
	list := Rules{}.Correlate(start.Add(time.Hour), time.Time{}, tenants, all, nil)
	if len(list) != 1 {
		t.Fatalf("%d: %v", len(list), titles(list))
	}
	i := list[0]
	if i.Title() != "virtual-desktop inaccessible at 30 tenants in region weu and 10 others" || i.Within() != 30 || i.Of != 30 || len(i.Members) != 40 {
		t.Errorf("%s; %d of %d, %d members", i.Title(), i.Within(), i.Of, len(i.Members))
	}
	if got := i.Sentence(time.UTC, start); got != "30 tenants lost virtual-desktop in region weu, and 10 others, at 09:42 UTC: one cause" {
		t.Error(got)
	}
	if got := i.Why(Rules{}); !strings.HasPrefix(got, "30 of 30 tenants in region weu and 10 others, ") {
		t.Error(got)
	}
}
