package site

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// page is what a request is answered with: a redirect, or a template with its data.
type page struct {
	to    string
	plain string // a text for the script, instead of a page

	template string // "" shows the refusal alone
	title    string
	tab      string
	data     any
	status   int
	refusal  string
}

// frame is what every page shows around its own data.
type frame struct {
	Title, Tab   string
	Repo         string
	Here         string // the address that a change of person comes back to
	Me           person
	People       []person
	Open         int
	Refusal      string
	RefusalTitle string
	Version      string // of the pull request, for the script
	Data         any
}

// person is somebody one can act as.
type person struct {
	Login, Role string
	Bot         bool
	Teams       []string
}

//go:embed templates
var templates embed.FS

var functions = template.FuncMap{
	"markdown": markdown,
	"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"stamp":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"short":    func(sha string) string { return sha[:min(7, len(sha))] },
	"first":    func(text string) string { line, _, _ := strings.Cut(text, "\n"); return line },
	"initial":  func(login string) string { return strings.ToUpper(login[:min(1, len(login))]) },
	"hue":      hue,
	"plural": func(n int, one string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprint(n, " ", one, "s")
	},
	"emoji": func(content string) string { return emoji[content] },
	"join":  strings.Join,
	"rest":  func(steps []Step) []Step { return steps[min(1, len(steps)):] },
	"line":  func(i int) int { return i + 1 },
	// rows and beside give a part of a page what it needs of the rest.
	"rows":   func(repo string, pulls []pullRow) listed { return listed{"/" + repo, pulls} },
	"beside": func(page pullPage, it any) part { return part{page, it} },
}

// listed are pull requests and the path that they are below.
type listed struct {
	Prefix string
	Pulls  []pullRow
}

// part is one entry of a conversation and the page that it is on.
type part struct {
	Page pullPage
	It   any
}

var emoji = map[string]string{
	"+1": "👍", "-1": "👎", "laugh": "😄", "confused": "😕", "heart": "❤️", "hooray": "🎉", "rocket": "🚀", "eyes": "👀",
}

// pages has one set of templates for each page: all share the layout and the parts.
var pages = parsePages()

func parsePages() map[string]*template.Template {
	shared := template.Must(template.New("").Funcs(functions).ParseFS(templates, "templates/layout.html", "templates/parts.html"))
	sets := map[string]*template.Template{}
	for _, name := range []string{"start", "list", "code", "file", "commit", "rules", "propose", "pull", "refused"} {
		clone := template.Must(shared.Clone())
		sets[name] = template.Must(clone.ParseFS(templates, "templates/"+name+".html"))
	}
	return sets
}

// hue is the colour of somebody's picture, one of nine; the factor tells the demo's people apart.
func hue(login string) (n uint32) {
	for _, b := range []byte(login) {
		n = n*19 + uint32(b)
	}
	return n % 9
}

func (v *visit) write(w http.ResponseWriter, p page) {
	if p.plain != "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, p.plain) // the browser is gone
		return
	}
	f := frame{
		Title: p.title, Tab: p.tab, Repo: v.repo.FullName(), Here: v.here(), Me: v.person(v.me),
		Refusal: p.refusal, RefusalTitle: v.refusalTitle(p.status), Data: p.data,
	}
	for _, u := range v.People {
		f.People = append(f.People, v.person(u))
	}
	for _, pull := range v.repo.PullRequests() {
		if pull.State() == "open" {
			f.Open++
		}
	}
	if v.pull != nil {
		f.Version = v.version()
	}
	if p.template == "" {
		p.template, f.Title = "refused", http.StatusText(p.status)
	}
	var out bytes.Buffer
	if err := pages[p.template].ExecuteTemplate(&out, "layout.html", f); err != nil {
		http.Error(w, "The page could not be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if p.status != 0 {
		w.WriteHeader(p.status)
	}
	_, _ = w.Write(out.Bytes()) // the browser is gone
}

func (v *visit) refusalTitle(status int) string {
	if v.r.Method == http.MethodPost {
		return fmt.Sprintf("GitHub refused what %s did (%d)", v.me.Login(), status)
	}
	return fmt.Sprintf("%d %s", status, http.StatusText(status))
}

// here is the page that a form was on, or the page itself.
func (v *visit) here() string {
	if v.r.Method == http.MethodPost {
		if v.pull != nil {
			return v.pullPath("")
		}
		return v.r.URL.Path
	}
	return without(v.r.URL, "as")
}

func (v *visit) person(u *githubsim.User) person {
	p := person{Login: u.Login(), Bot: u.IsBot(), Role: v.repo.Role(u)}
	if org := v.repo.Organization(); org != nil {
		for _, team := range org.Teams() {
			if slices.Contains(team.Members(), u.Login()) {
				p.Teams = append(p.Teams, team.Slug())
			}
		}
	}
	return p
}

// As is the address that makes the visitor this person and comes back.
func (f frame) As(login string) string {
	separator := "?"
	if strings.Contains(f.Here, "?") {
		separator = "&"
	}
	return f.Here + separator + "as=" + template.URLQueryEscaper(login)
}
