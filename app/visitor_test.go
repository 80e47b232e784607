package app

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// updateScreenshot is the environment variable that makes the test write the
// README's picture anew.
const updateScreenshot = "PORTCULLIS_UPDATE_SCREENSHOT"

// visitor is somebody with a browser on the demo's site.
type visitor struct {
	t   *testing.T
	ctx context.Context
	url string
}

// newVisitor starts a headless Chromium, which ends with the test.
func newVisitor(t *testing.T, url string) *visitor {
	t.Helper()
	browser, err := findChromium()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED, the demo's site was not tried in a browser: ", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.WindowSize(1280, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // as root Chromium starts only without its sandbox
	}
	limited, stop := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	allocated, kill := chromedp.NewExecAllocator(limited, options...)
	ctx, leave := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("close Chromium: %v", err)
		}
		leave()
		kill()
		stop()
	})
	return &visitor{t: t, ctx: ctx, url: url}
}

func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium on the PATH")
}

func (v *visitor) do(actions ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	if err := chromedp.Do(v.ctx, actions...); err != nil {
		v.t.Fatal(err)
	}
}

func (v *visitor) open(path string) {
	v.t.Helper()
	v.do(chromedp.Navigate(v.url + path))
}

// press clicks the button or link of the page that has this text, and waits for
// the page that follows.
func (v *visitor) press(text string) {
	v.t.Helper()
	v.follow(`//main//*[self::button or self::a][normalize-space()="` + text + `"]`)
}

// become chooses whom to act as.
func (v *visitor) become(login string) {
	v.t.Helper()
	v.follow(`//nav[@aria-label="Whom you act as"]//a[b="` + login + `"]`)
}

// follow clicks what the XPath finds first.
func (v *visitor) follow(xpath string) {
	v.t.Helper()
	limited, cancel := context.WithTimeout(v.ctx, 20*time.Second)
	defer cancel()
	if _, err := chromedp.RunResponse(limited, chromedp.Click(xpath)); err != nil {
		v.shot("failed")
		v.t.Fatalf("click %s: %v", xpath, err)
	}
}

// fill writes into the field that has this id.
func (v *visitor) fill(id, text string) {
	v.t.Helper()
	v.do(chromedp.SetValue(chromedp.ID(id), text))
}

// edit writes into the field that holds a file.
func (v *visitor) edit(path, content string) {
	v.t.Helper()
	v.do(chromedp.SetValue(`//textarea[@id=//label[normalize-space()="Content of `+path+`"]/@for]`, content))
}

// unfold opens every file of a form.
func (v *visitor) unfold() {
	v.t.Helper()
	if _, err := chromedp.Run(v.ctx, chromedp.Evaluate[int](`[...document.querySelectorAll("details.edit")].map(d => d.open = true).length`)); err != nil {
		v.t.Fatal(err)
	}
}

// see fails the test unless the page shows the texts.
func (v *visitor) see(texts ...string) {
	v.t.Helper()
	shown, err := chromedp.Run(v.ctx, chromedp.Evaluate[string](`document.querySelector("main").innerText`))
	if err != nil {
		v.t.Fatal(err)
	}
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			v.t.Errorf("the page does not show %q:\n%s", text, shown)
		}
	}
}

// shot keeps a picture of the whole page among the test's artefacts.
func (v *visitor) shot(name string) {
	v.t.Helper()
	picture, err := chromedp.Run(v.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		v.t.Errorf("screenshot %s: %v", name, err)
		return
	}
	v.keep(filepath.Join(v.t.ArtifactDir(), name+".png"), picture)
}

func (v *visitor) keep(file string, picture []byte) {
	v.t.Helper()
	if err := os.WriteFile(file, picture, 0o600); err != nil {
		v.t.Error(err)
	}
}

// looks keeps pictures of the page in light and dark, wide and narrow, and fails
// the test if the page has to be scrolled sideways.
func (v *visitor) looks(name string) {
	v.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 380} {
			v.do(inScheme(scheme), chromedp.EmulateViewport(width, 900))
			overflow, err := chromedp.Run(v.ctx, chromedp.Evaluate[int]("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
			if err != nil || overflow > 0 {
				v.t.Errorf("%s is %d pixels wider than a window of %d (%v)", name, overflow, width, err)
			}
			label := map[int64]string{1280: "wide", 380: "narrow"}[width]
			v.shot(name + "-" + scheme + "-" + label)
		}
	}
	v.do(inScheme("light"), chromedp.EmulateViewport(1280, 900))
}

// inScheme makes the page believe that its reader prefers light or dark.
func inScheme(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}

// keepPicture writes the README's picture if it is asked to.
func (v *visitor) keepPicture() {
	v.t.Helper()
	if os.Getenv(updateScreenshot) == "" {
		return
	}
	v.open("/acme/shop/pull/2")
	v.do(chromedp.EmulateViewport(1120, 1080))
	picture, err := chromedp.Run(v.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		v.t.Fatal(err)
	}
	v.do(chromedp.EmulateViewport(1280, 900))
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		v.t.Fatal(err)
	}
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, fewColours(decoded)); err != nil {
		v.t.Fatal(err)
	}
	v.keep(filepath.FromSlash("../docs/images/demo.png"), small.Bytes())
}

// fewColours is the picture with at most 256 colours, the commonest that differ
// enough from each other to matter, which makes its file a third as large.
func fewColours(picture image.Image) image.Image {
	count := map[color.RGBA]int{}
	area := picture.Bounds()
	for y := range area.Dy() {
		for x := range area.Dx() {
			count[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	var palette color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return count[b] - count[a] }) {
		if len(palette) < 256 && !slices.ContainsFunc(palette, func(have color.Color) bool { return alike(have.(color.RGBA), c) }) {
			palette = append(palette, c)
		}
	}
	few := image.NewPaletted(area, palette)
	draw.Draw(few, area, picture, image.Point{}, draw.Src)
	return few
}

func alike(a, b color.RGBA) bool {
	far := func(x, y uint8) int { return max(int(x), int(y)) - min(int(x), int(y)) }
	return far(a.R, b.R)+far(a.G, b.G)+far(a.B, b.B) < 10
}
