package gate

// Urgency says which work overtakes which. The smaller is the more urgent.
type Urgency int

const (
	// UrgencySwitch is for what may stop something: it waits for nothing else.
	UrgencySwitch Urgency = 1
	// UrgencyPeople is for what somebody did and waits for an answer to.
	UrgencyPeople Urgency = 2
	// UrgencyBackground is for what nobody waits for: timers and sweeps.
	UrgencyBackground Urgency = 3
)
