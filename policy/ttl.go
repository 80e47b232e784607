package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ParseTTL reads how long something is asked for, in Go's spelling (30m) or in ISO
// 8601's (PT30M). It is above zero and at most the limit, or an error that names the
// limit.
func ParseTTL(text string, limit time.Duration) (time.Duration, error) {
	ttl, err := parseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is not a duration; ask for at most %s, as %s or PT%s", quote(text), briefly(limit), briefly(limit), strings.ToUpper(briefly(limit)))
	case ttl <= 0:
		return 0, fmt.Errorf("%s is not above zero; ask for at most %s", quote(text), briefly(limit))
	case ttl > limit:
		return 0, fmt.Errorf("%s is longer than the policy allows; ask for at most %s", quote(text), briefly(limit))
	}
	return ttl, nil
}

// isoDuration is a duration of ISO 8601 without a calendar: years and months are of no
// fixed length.
var isoDuration = regexp.MustCompile(`^P(?:(\d+)W|(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?)$`)

var isoUnits = []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second}

var errDuration = errors.New("not a duration")

func parseDuration(text string) (total time.Duration, _ error) {
	parts := isoDuration.FindStringSubmatch(text)
	if parts == nil {
		return time.ParseDuration(text)
	}
	if strings.HasSuffix(text, "P") || strings.HasSuffix(text, "T") {
		return 0, errDuration
	}
	for i, unit := range isoUnits {
		if parts[i+1] == "" {
			continue
		}
		n, err := strconv.ParseInt(parts[i+1], 10, 64)
		part := time.Duration(n) * unit
		if err != nil || int64(part/unit) != n || total+part < total {
			return 0, errDuration
		}
		total += part
	}
	return total, nil
}
