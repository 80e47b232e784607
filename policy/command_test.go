package policy

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseCommandWords(t *testing.T) {
	sha := "0123456789abcdef0123456789abcdef01234567"
	const approveFault = "Write `/approve` alone on its line, or `/approve SHA` with 7 to 40 digits of the commit you have reviewed."
	const helpFault = "Write `/portcullis help` to list the commands; each of them begins with a slash of its own."
	const credentialFault = "Write `/credential issue NAME [ttl]`, `/credential revoke ID|NAME` or `/credential list`."
	const sandboxFault = "Write `/sandbox start [codespaces|docker]`, `/sandbox exec ID COMMAND`, `/sandbox stop ID` or `/sandbox list`."
	for _, test := range []struct {
		line string
		want []Command
	}{
		{"/approve", []Command{{Verb: VerbApprove}}},
		{"/APPROVE", []Command{{Verb: VerbApprove}}},
		{"/approve   ", []Command{{Verb: VerbApprove}}},
		{"/approve\t", []Command{{Verb: VerbApprove}}},
		{"/approve 0123abc", []Command{{Verb: VerbApprove, SHA: "0123abc"}}},
		{"/approve\t0123ABC ", []Command{{Verb: VerbApprove, SHA: "0123abc"}}},
		{"/approve " + strings.ToUpper(sha), []Command{{Verb: VerbApprove, SHA: sha}}},
		{"/approve 012345", []Command{{Verb: VerbApprove, Fault: approveFault}}},
		{"/approve " + sha + "0", []Command{{Verb: VerbApprove, Fault: approveFault}}},
		{"/approve please", []Command{{Verb: VerbApprove, Fault: approveFault}}},
		{"/approve 0123abc now", []Command{{Verb: VerbApprove, Fault: approveFault}}},
		{"/approve 0123abg", []Command{{Verb: VerbApprove, Fault: approveFault}}},
		{"/approve <!-- 0123abc -->", []Command{{Verb: VerbApprove, Fault: approveFault}}},
		{"/approve `0123abc`", []Command{{Verb: VerbApprove, Fault: approveFault}}},
		{"/approved", nil},
		{"/approve,", nil},
		{"/approve.", nil},
		{"/approve!", nil},
		{"/approve\u00a0", nil},
		{"/approve\u200b", nil},
		{"/approve/reject", nil},
		{"//approve", nil},
		{"/ approve", nil},
		{"approve", nil},
		{"/", nil},
		{"/reject", []Command{{Verb: VerbReject}}},
		{"/reject  it leaks  *secrets* ", []Command{{Verb: VerbReject, Reason: "it leaks  *secrets*"}}},
		{"/unapprove", []Command{{Verb: VerbUnapprove}}},
		{"/unapprove it", []Command{{Verb: VerbUnapprove, Fault: "Write `/unapprove` alone on its line."}}},
		{"/tier", []Command{{Verb: VerbTier}}},
		{"/tier please", []Command{{Verb: VerbTier, Fault: "Write `/tier` alone on its line."}}},
		{"/killswitch", []Command{{Verb: VerbKillSwitch, Fault: "Say why, as in `/killswitch repo leaked token`, or write `/killswitch off` or `/killswitch status`."}}},
		{"/KillSwitch Org Leaked token", []Command{{Verb: VerbKillSwitch, Args: []string{"Org", "Leaked", "token"}}}},
		{"/killswitch leak", []Command{{Verb: VerbKillSwitch, Args: []string{"leak"}}}},
		{"/credential issue deploy 30m", []Command{{Verb: VerbCredential, Args: []string{"issue", "deploy", "30m"}}}},
		{"/credential", []Command{{Verb: VerbCredential, Fault: credentialFault}}},
		{"/credential give deploy", []Command{{Verb: VerbCredential, Args: []string{"give", "deploy"}, Fault: credentialFault}}},
		{"/sandbox EXEC 7 go  test ./...", []Command{{Verb: VerbSandbox, Args: []string{"EXEC", "7", "go", "test", "./..."}}}},
		{"/sandbox", []Command{{Verb: VerbSandbox, Fault: sandboxFault}}},
		{"/sandbox begin", []Command{{Verb: VerbSandbox, Args: []string{"begin"}, Fault: sandboxFault}}},
		{"/portcullis help", []Command{{Verb: VerbHelp}}},
		{"/Portcullis HELP", []Command{{Verb: VerbHelp}}},
		{"/portcullis", []Command{{Verb: VerbHelp}}},
		{"/portcullis help me", []Command{{Verb: VerbHelp, Fault: helpFault}}},
		{"/portcullis approve", []Command{{Verb: VerbHelp, Fault: helpFault}}},
		{"/help", nil},
		{"/lgtm", nil},
		{"/retest all", nil},
	} {
		if got := ParseCommands(test.line); !sameCommands(got, test.want) {
			t.Errorf("%q: got %+v, want %+v", test.line, got, test.want)
		}
	}
}

// sameCommands compares, an empty list of words being no list.
func sameCommands(a, b []Command) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if len(a[i].Args)+len(b[i].Args) == 0 {
			a[i].Args, b[i].Args = nil, nil
		}
	}
	return len(a) == 0 || reflect.DeepEqual(a, b)
}

func TestParseCommandsWhereTheyStand(t *testing.T) {
	for _, test := range []struct {
		name, body string
		want       int
	}{
		{"nothing", "", 0},
		{"alone", "/tier", 1},
		{"after text", "Looks good.\n/tier", 1},
		{"after a blank line", "Looks good.\n\n/tier\n", 1},
		{"before text", "/tier\nthank you", 1},
		{"two", "/tier\n/approve\n", 2},
		{"two paragraphs", "/tier\n\n/approve\n", 2},
		{"CRLF", "Fine.\r\n/tier\r\n/approve\r\n\r\n/tier", 3},
		{"CR", "Fine.\r/tier\r/approve", 2},
		{"byte order mark", "\ufeff/tier", 1},
		{"two byte order marks", "\ufeff\ufeff/tier", 0},
		{"byte order mark on a later line", "Fine.\n\ufeff/tier", 0},
		{"NUL elsewhere", "a\x00b\n/tier", 1},
		{"NUL before", "\x00/tier", 0},
		{"NUL after", "/tier\x00", 0},
		{"zero-width space before", "\u200b/tier", 0},
		{"soft hyphen before", "\u00ad/tier", 0},
		{"direction mark before", "\u202e/tier", 0},
		{"no-break space before", "\u00a0/tier", 0},
		{"full-width slash", "／tier", 0},
		{"line separator", "Fine.\u2028/tier", 0},
		{"vertical tab", "Fine.\v/tier", 0},
		{"form feed", "Fine.\f/tier", 0},
		{"in a line", "use /tier for that", 0},
		{"one space before", " /tier", 0},
		{"three spaces before", "   /tier", 0},
		{"three spaces in a paragraph", "Fine.\n   /tier", 0},
		{"tab before", "\t/tier", 0},
		{"escaped", "\\/tier", 0},
		{"as an entity", "&#47;tier", 0},
		{"hard break before", "Fine.  \n/tier", 1},
		{"hard break by backslash", "Fine.\\\n/tier", 1},
		{"after a code span", "`x`\n/tier", 1},
		{"after a link", "[x](y)\n/tier", 1},
		{"after an image", "![x](y)\n/tier", 1},
		{"after an address", "https://example.com\n/tier", 1},
		{"after closed emphasis", "**x**\n/tier", 1},
		{"after lone stars", "2 * 3 * 4\n/tier", 1},
		{"after a type name", "List<String> is wrong\n/tier", 1},
		{"after a heading", "# Verdict\n/tier", 1},
		{"after a fence", "```\nx\n```\n/tier", 1},
		{"after a list and a blank line", "- a\n\n/tier", 1},
		{"after a quote and a blank line", "> a\n\n/tier", 1},
		{"after a table and a blank line", "|a|\n|-|\n|b|\n\n/tier", 1},
		{"after a thematic break", "---\n/tier", 1},
		{"after closed details", "<details>\n\nlog\n\n</details>\n\n/tier", 1},
		{"after a comment and a blank line", "<!-- hello -->\n\n/tier", 1},
		{"after a comment block", "<!-- hello -->\n/tier", 1},
		{"after a comment that opens details", "<!-- <details> -->\n\n/tier", 1},
		{"after an inline comment", "x <!-- y -->\n/tier", 1},
		{"after a line break element", "x<br>\n/tier", 1},
		{"after a picture element", "<img src=\"x\">\n\n/tier", 1},

		{"code span", "`/tier`", 0},
		{"code span over lines", "`x\n/tier\ny`", 0},
		{"code span over lines, doubled", "``x\n/tier\n` y``", 0},
		{"unclosed code span", "`x\n/tier", 1},
		{"fence", "```\n/tier\n```", 0},
		{"fence with language", "```sh\n/tier\n```", 0},
		{"tilde fence", "~~~\n/tier\n~~~", 0},
		{"long fence", "````\n```\n/tier\n````", 0},
		{"unclosed fence", "```\n/tier", 0},
		{"fence in a paragraph", "Fine.\n```\n/tier\n```", 0},
		{"fence in a list", "- a\n  ```\n/tier\n", 1},
		{"indented code", "    /tier", 0},
		{"after indented code", "    x\n/tier", 1},
		{"quote", "> /tier", 0},
		{"quote without space", ">/tier", 0},
		{"quote, lazy", "> Fine.\n/tier", 0},
		{"alert", "> [!NOTE]\n/tier", 0},
		{"nested quote, lazy", "> > Fine.\n/tier", 0},
		{"list", "- /tier", 0},
		{"list, lazy", "- Fine.\n/tier", 0},
		{"ordered list, lazy", "1. Fine.\n/tier", 0},
		{"task list, lazy", "- [ ] Fine.\n/tier", 0},
		{"loose list, lazy", "- a\n\n- b\n/tier", 0},
		{"quote in list, lazy", "- > Fine.\n/tier", 0},
		{"heading", "# /tier", 0},
		{"setext heading", "/tier\n===", 0},
		{"setext heading, second level", "/tier\n---", 0},
		{"setext heading over lines", "Fine.\n/tier\n---", 0},
		{"table header", "/tier | a\n---|---", 0},
		{"table row", "a | b\n---|---\n/tier | x", 0},
		{"table row without bars", "a | b\n---|---\nx | y\n/tier", 0},
		{"table with one column", "|a|\n|-|\n/tier", 0},
		{"HTML block", "<div>\n/tier\n</div>", 0},
		{"HTML block, unclosed", "<div>\n/tier", 0},
		{"pre block with blank lines", "<pre>\n\n/tier\n\n</pre>", 0},
		{"script block", "<script>\n\n/tier\n</script>", 0},
		{"own element", "<x-y>\n/tier\n</x-y>", 0},
		{"HTML comment", "<!--\n/tier\n-->", 0},
		{"HTML comment with blank lines", "<!--\n\n/tier\n\n-->", 0},
		{"HTML comment, unclosed", "<!--\n\n/tier", 0},
		{"inline HTML comment", "x <!--\n/tier\n-->", 0},
		{"inline HTML comment with dashes", "x <!-- a --- b\n/tier\n-->", 0},
		{"inline HTML attribute", "x <a title=\"\n/tier\n\">", 0},
		{"processing instruction", "<?\n\n/tier\n?>", 0},
		{"inline processing instruction", "x <?\n/tier\n?>", 0},
		{"declaration", "<!X\n/tier\n>", 0},
		{"CDATA", "<![CDATA[\n\n/tier\n]]>", 0},
		{"inline CDATA", "x <![CDATA[\n/tier\n]]>", 0},
		{"details", "<details>\n\n/tier\n\n</details>", 0},
		{"blockquote element", "<blockquote>\n\n/tier\n\n</blockquote>", 0},
		{"blockquote element in capitals", "<BLOCKQUOTE>\n\n/tier\n\n</BLOCKQUOTE>", 0},
		{"nested blockquote elements", "<blockquote><blockquote>\n\nx\n\n</blockquote>\n\n/tier", 0},
		{"blockquote element in a list", "- <blockquote>\n\n/tier", 0},
		{"struck out by elements", "x <del>\n/tier\n</del>", 0},
		{"struck out by elements over paragraphs", "x <s>\n\n/tier\n", 0},
		{"code element", "x <code>y\n/tier\n</code>", 0},
		{"link text", "[x\n/tier](y)", 0},
		{"link text by reference", "[x\n/tier][y]\n\n[y]: /z", 0},
		{"link destination", "[x](\n/tier\n)", 0},
		{"link title", "[x](y \"\n/tier\n\")", 0},
		{"image text", "![x\n/tier](y)", 0},
		{"image title", "![x](y '\n/tier\n')", 0},
		{"reference definition", "[x]:\n/tier", 0},
		{"reference title", "[x]: y '\n/tier\n'", 0},
		{"after a reference definition", "[x]: y\n/tier", 1},
		{"footnote", "a[^1]\n\n[^1]: Fine.\n/tier", 0},
		{"footnote that nothing refers to", "[^1]: Fine.\n/tier", 0},
		{"footnote with a later paragraph", "a[^1]\n\n[^1]: Fine.\n\n    /tier", 0},
		{"emphasis", "*x\n/tier*", 0},
		{"underscore emphasis", "_x\n/tier y_", 0},
		{"strong", "**x\n/tier y**", 0},
		{"strikethrough", "~~x\n/tier y~~", 0},
		{"single-tilde strikethrough", "~x\n/tier y~", 0},
		{"strong and emphasis", "***x\n/tier y***", 0},
		{"word is a link", "[/tier](y)", 0},
		{"word is strong", "**/tier**", 0},
		{"too long", "/tier\n\n" + strings.Repeat("a", maxCommentSize), 0},
		{"as long as may be", "/tier\n\n" + strings.Repeat("a", maxCommentSize-7), 1},
		{"long paragraph", "/tier\n" + strings.Repeat("a", maxParagraphSize), 0},
		{"paragraph as long as may be", "/tier\n" + strings.Repeat("a", maxParagraphSize-6), 1},
		{"beside a long paragraph", strings.Repeat("a [b\n", maxParagraphSize) + "\n/tier", 1},
		{"beside long code", "```\n" + strings.Repeat("a [b\n", maxParagraphSize) + "```\n/tier", 1},
		{"after a long paragraph that opens an element", strings.Repeat("a\n", maxParagraphSize) + "<del>\n\n/tier", 0},
		{"deep quote", "/tier\n\n" + strings.Repeat(">", maxQuoteDepth+1), 0},
		{"deep list", "/tier\n\n" + strings.Repeat("1. ", maxQuoteDepth+1), 0},
		{"deep footnote", "/tier\n\n" + strings.Repeat("[^1]: ", maxQuoteDepth+1), 0},
		{"deep quote in a footnote", "/tier\n\n[^1]: " + strings.Repeat(">\t", maxQuoteDepth+1), 0},
		{"long thematic break", "/tier\n\n" + strings.Repeat("-", 200), 1},
		{"long number", "/tier\n\n" + strings.Repeat("1", 200) + " > 3", 1},
		{"struck out from a list on", "- x <del>y\n\nz\n\n/tier", 0},
		{"struck out from a heading on", "# x <del>y\n\n/tier", 0},
		{"element in code in a list", "- `<del>`\n\n/tier", 1},
		{"element in code in a paragraph", "Use `<details>` here.\n\n/tier", 1},
		{"element in a fence", "```\n<details>\n```\n\n/tier", 1},
		{"reference in another paragraph, code", "[`x`][y] and\n/tier\n\n[y]: /z", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := ParseCommands(test.body); len(got) != test.want {
				t.Errorf("%.200q: got %+v, want %d commands", test.body, got, test.want)
			}
		})
	}
}

func TestParseCommandsInOrder(t *testing.T) {
	got := ParseCommands("Hello\n/reject no\n\n> /approve\n\n/tier\n/approve 0123ABCD\n/lgtm\n")
	want := []Command{{Verb: VerbReject, Reason: "no"}, {Verb: VerbTier}, {Verb: VerbApprove, SHA: "0123abcd"}}
	if !sameCommands(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestUsages: every form that help shows is understood as its own verb.
func TestUsages(t *testing.T) {
	seen := map[Verb]bool{}
	for _, u := range Usages() {
		seen[u.Verb] = true
		form := strings.NewReplacer("SHA", "0123abc", "[", "", "]", "", "pr|repo|org|agents", "org", "codespaces|docker", "docker").Replace(u.Form)
		got := ParseCommands(form)
		if len(got) != 1 || got[0].Verb != u.Verb || got[0].Fault != "" || u.Effect == "" {
			t.Errorf("%s: %q gives %+v", u.Form, form, got)
		}
	}
	if len(seen) != 8 {
		t.Errorf("verbs with a form: %v", seen)
	}
}

func TestCommandsBeyondTheLastOneCarriedOut(t *testing.T) {
	for _, n := range []int{1, MaxCommands, MaxCommands + 1, 100} {
		for _, separator := range []string{"\n", "\n\n"} {
			got := len(ParseCommands(strings.Repeat("/tier"+separator, n)))
			if want := min(n, MaxCommands+1); got != want {
				t.Errorf("%d commands give %d, want %d", n, got, want)
			}
		}
	}
}

// TestPlainTagsAreWhatMarkdownFinds holds the shortcut for texts with simple HTML
// to what goldmark reads in them.
func TestPlainTagsAreWhatMarkdownFinds(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		"<b>", "</b>", "<details>", "</details>", "<a href='x'>", "<c>", "</B>", "<br/>", "<", ">", "`", "\\", "*", "_", "~~", "[a](", ")", "]", "!",
		"https://a.b/", "www.a.com", "<https://x.y>", "<a@b.co>", "a@b.co", "<!--", "-->", "&lt;", " ", "\n", "text", "\"", "'",
	})
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		src := strings.TrimSpace(strings.Join(rapid.SliceOfN(piece, 1, 10).Draw(t, "pieces"), ""))
		content := new(reading).inlines([]byte(src))
		if content == nil || !hasPlainTags(src) {
			return
		}
		var shortcut, read openElements
		shortcut.read(src)
		read.readNodes(content, []byte(src))
		if shortcut.total != read.total || !maps.Equal(shortcut.counts, read.counts) {
			t.Errorf("%q leaves %v open, and the shortcut finds %v", src, read.counts, shortcut.counts)
		}
		if strings.Contains(src, "<") {
			plain++
		}
	})
	if plain == 0 {
		t.Error("no text had plain tags")
	}
}
