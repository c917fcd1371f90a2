package incident

// Matter is whose matter a failure is. The zero value is that of what did not fail, and of incidents recorded before it was
// kept.
type Matter string

// The matters.
const (
	MatterInfrastructure Matter = "infrastructure" // the Operations Centre's: it may open a case
	MatterFunctional     Matter = "functional"     // the application's: for the functional contact, never a case
	MatterAgent          Matter = "agent"          // the agent's own: nothing is known of the target, never a case
)

// Judgement says whose matter a failure is, and why. It is made by policy.JudgeFailure. The zero value says nothing.
type Judgement struct {
	Matter     Matter `json:"matter"`
	Rule       string `json:"rule"`                 // name of the row of the table that decided
	Why        string `json:"why"`                  // a clause that follows "because"
	Configured bool   `json:"configured,omitempty"` // the probe's judge_as decided against the table
}

// String returns "judged infrastructure because ...", or "" of the zero value.
func (j Judgement) String() string {
	switch j.Matter {
	case "":
		return ""
	case MatterAgent:
		return "judged the agent's own because " + j.Why
	default:
	}
	return "judged " + string(j.Matter) + " because " + j.Why
}
