package docker

import (
	"strconv"
	"testing"
)

func TestTheUserOfASandboxIsNobodyElses(t *testing.T) {
	for name, c := range map[string]struct {
		mapped      bool
		first, last int
	}{
		"an engine with the machine's users": {false, 1 << 30, 1<<31 - 1},
		"an engine with users of its own":    {true, 10_000, 59_999},
	} {
		asked := 0
		// The first that it comes upon is another's.
		id, err := choose(c.mapped, map[string]bool{strconv.Itoa(c.first): true}, func(n int) int {
			asked++
			return map[bool]int{true: 0, false: n - 1}[asked == 1]
		})
		if err != nil || id != c.last || asked != 2 {
			t.Errorf("%s: %d after %d, %v; want %d", name, id, asked, err, c.last)
		}
	}
	all := map[string]bool{}
	for n := range mappedIDs {
		all[strconv.Itoa(firstMappedID+n)] = true
	}
	if id, err := choose(true, all, func(int) int { return 0 }); err == nil {
		t.Errorf("%d though all are taken", id)
	}
}

func TestALabelThatNamesNoWorkloadIsNone(t *testing.T) {
	for _, label := range []string{"", "0", "65533", "-1", "root", "1000"} {
		if as, err := workloadOf(map[string]string{labelUser: label}); err == nil {
			t.Errorf("%q is %s", label, as)
		}
	}
}

// What an engine has not it cannot give, and a number that is no machine's is not taken for
// none.
func TestMoreThanTheEngineHasIsRefused(t *testing.T) {
	engine := facts{memoryMB: 2048, cpus: 2}
	for _, c := range []struct {
		memory, cpu int64
		allowed     bool
	}{{2048, 200, true}, {2049, 200, false}, {2048, 201, false}, {63, 100, false}} {
		if err := engine.has(c.memory, c.cpu); (err == nil) != c.allowed {
			t.Errorf("%d MB and %d %%: %v", c.memory, c.cpu, err)
		}
	}
}
