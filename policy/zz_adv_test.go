package policy

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"
)

func TestAdv(t *testing.T) {
	alpha := []string{"a", "*", "_", "**", "[", "]", "(", ")", "`", "``", "<", ">", "!", "![", "](", "~", "~~", "|", "-", "#", "\n", " ", "\t", "\\", "&", "&#", "www.", "http://", "@", ".", ":", "<!--", "<a ", "</a", "<?", "<![CDATA[", "<!A", "\"", "'", "=", "> ", "- ", "1. ", "    ", "[^1]", "[^1]: ", "[a]: ", "|-|", "\n\n", "```", "+", "a@", "a.b", "\n/tier\n", "\n\n/tier\n", "<del>", "</del>"}
	end := time.Now().Add(90 * time.Second)
	n := 0
	for time.Now().Before(end) {
		n++
		unit := ""
		for range 1 + rand.Intn(5) {
			unit += alpha[rand.Intn(len(alpha))]
		}
		pre := ""
		for range rand.Intn(3) {
			pre += alpha[rand.Intn(len(alpha))]
		}
		s := "/tier\n" + pre + strings.Repeat(unit, 64000/len(unit))
		t0 := time.Now()
		ParseCommands(s)
		if d := time.Since(t0); d > 100*time.Millisecond {
			fmt.Printf("%6d %q %q\n", d.Milliseconds(), pre, unit)
		}
	}
	fmt.Println(n, "tried")
}
