package policy

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"
)

func TestAdv(t *testing.T) {
	alpha := []string{"a", "*", "_", "[", "]", "(", ")", "`", "<", ">", "![", "](", "~~", "|", "-", "\n", " ", "\t", "\\", "&#", "www.", "http://", "@", ":", "<!--", "<a ", "</a", "<?", "<![CDATA[", "\"", "> ", "- ", "1. ", "    ", "[^1]", "[^1]: ", "[a]: ", "|-|", "\n\n", "```", "\n/tier\n", "\n\n/tier\n", "<del>"}
	var worst time.Duration
	n := 0
	try := func(pre, unit string) {
		n++
		s := "/tier\n" + pre + strings.Repeat(unit, 64000/len(unit)) + "\n\n/tier"
		t0 := time.Now()
		ParseCommands(s)
		if d := time.Since(t0); d > worst {
			worst = d
			fmt.Printf("%v %q %q\n", d, pre, unit)
		}
	}
	for _, c := range [][2]string{{"[^1]: ", ">\t"}, {"[^1]: ", ">"}, {"", "[^1]: - >"}, {"", "<a a.b\"\n\n"}, {"", "\\```![\n"}, {"\n", ">\t"}} {
		try(c[0], c[1])
	}
	for end := time.Now().Add(80 * time.Second); time.Now().Before(end); {
		unit, pre := "", ""
		for range 1 + rand.Intn(5) {
			unit += alpha[rand.Intn(len(alpha))]
		}
		for range rand.Intn(3) {
			pre += alpha[rand.Intn(len(alpha))]
		}
		try(pre, unit)
	}
	fmt.Println(n)
}
