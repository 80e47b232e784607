package policy

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"
)

func TestAdv(t *testing.T) {
	alpha := []string{"a", "*", "_", "**", "[", "]", "(", ")", "`", "``", "<", ">", "!", "![", "](", "~", "~~", "|", "-", "#", "\n", " ", "\t", "\\", "&", "&#", "www.", "http://", "@", ".", ":", "<!--", "<a ", "</a", "<?", "<![CDATA[", "<!A", "\"", "'", "=", "> ", "- ", "1. ", "    ", "[^1]", "[^1]: ", "[a]: ", "|-|", "\n\n", "```", "+", "a@", "a.b"}
	end := time.Now().Add(100 * time.Second)
	n := 0
	for time.Now().Before(end) {
		n++
		unit := ""
		for range 1 + rand.Intn(4) {
			unit += alpha[rand.Intn(len(alpha))]
		}
		pre := ""
		for range rand.Intn(3) {
			pre += alpha[rand.Intn(len(alpha))]
		}
		s := "/tier\n" + pre + strings.Repeat(unit, 16000/len(unit))
		t0 := time.Now()
		ParseCommands(s)
		if d := time.Since(t0); d > 60*time.Millisecond {
			fmt.Printf("%v %q %q\n", d.Round(time.Millisecond), pre, unit)
		}
	}
	fmt.Println(n, "tried")
}
