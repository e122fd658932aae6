package policy

// Feature is what a region can do, of the closed list of the catalogue.
type Feature string

// The features that the surface of a region depends on.
const (
	Voice               Feature = "voice"
	SIPTrunking         Feature = "sip_trunking"
	RecordingFeature    Feature = "recording"
	TranscriptFeature   Feature = "transcript"
	Messaging           Feature = "messaging"
	PresenceFeature     Feature = "presence"
	StirShaken          Feature = "stir_shaken"
	SensitiveCollection Feature = "sensitive_collection"
)

// Stage is how far a feature is in a region.
type Stage string

// The stages, in order.
const (
	StageNone  Stage = "none"
	StagePilot Stage = "pilot"
	StageBeta  Stage = "beta"
	StageGA    Stage = "ga"
)

// Valid reports whether s is one of the closed list.
func (s Stage) Valid() bool {
	return s == StageNone || s == StagePilot || s == StageBeta || s == StageGA
}

// Absent reports whether a region at this stage does not have the feature; ""
// is the stage of a feature that nobody has named.
func (s Stage) Absent() bool { return s == "" || s == StageNone }

// RegionFeatures is the row of a bundle that says what its region can do.
type RegionFeatures struct {
	Region RegionID          `json:"region"`
	Stages map[Feature]Stage `json:"stages"`
}

// Has reports whether the region has a feature. Without a row (nil) nobody has
// said that it has not, and doubt never refuses a home tenant's records.
func (f *RegionFeatures) Has(name Feature) bool {
	return f == nil || name == "" || !f.Stages[name].Absent()
}

// classFeatures says which feature brings data of a class in; the others are
// made by the system itself.
var classFeatures = [numDataClasses]Feature{CallRecord: Voice, Signalling: Voice, Recording: RecordingFeature, Transcript: TranscriptFeature,
	MessageBody: Messaging, Presence: PresenceFeature, SensitiveInput: SensitiveCollection}

// FeatureOf is the feature that brings data of a class in; "" for none.
func FeatureOf(c DataClass) Feature {
	if !c.Valid() {
		return ""
	}
	return classFeatures[c]
}

// Opens lists the features that a policy relies on beyond what a new tenant
// has: classes that are more than sealed at home.
func (p *ResidencyPolicy) Opens() (features []Feature) {
	for c := range ascending(p.Classes) {
		if f := FeatureOf(c); f != "" && p.Classes[c].Mode > Sealed {
			features = append(features, f)
		}
	}
	return features
}

// Uses reports whether a policy has a rule for a class that a feature brings in.
func (p *ResidencyPolicy) Uses(f Feature) bool {
	for c := range p.Classes {
		if f != "" && FeatureOf(c) == f {
			return true
		}
	}
	return false
}
