package stdio

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/firstcall-agent/firstcall/incident/detect"
)

// snapshotEvery is how many points of a series are journalled before its state is written whole.
const snapshotEvery = 500

// keeper keeps what is learnt of every series: its state as of some point, and a journal of the points since, which is written
// before each answer. A process that is killed has both in the operating system's hands. Without a directory it keeps nothing.
type keeper struct {
	directory string
	journals  map[string]*journal
}

type journal struct {
	file   *os.File
	points int   // since the snapshot
	last   int64 // Unix seconds of the newest point
}

// snapshot is what is saved of a series.
type snapshot struct {
	Series   string       `json:"series"`
	Last     int64        `json:"last"` // Unix seconds of the newest point in it
	State    detect.State `json:"state"`
	Baseline []byte       `json:"baseline"`
}

func open(directory string) (*keeper, error) {
	if directory == "" {
		return &keeper{}, nil
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("the directory for what is learnt cannot be made: %w", err)
	}
	return &keeper{directory: directory, journals: map[string]*journal{}}, nil
}

// path returns the file of a series, whatever characters its name has.
func (k *keeper) path(series, kind string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(series))
	return filepath.Join(k.directory, strconv.FormatUint(h.Sum64(), 16)+"."+kind)
}

// take returns the detector of a series, as it was after the newest point that was answered.
func (k *keeper) take(series string) (*detect.Detector, error) {
	if k.directory == "" {
		return detect.New(detect.Setup{Probe: series, Settings: settings}), nil
	}
	var s snapshot
	data, err := os.ReadFile(k.path(series, "state"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("what is learnt of series %q cannot be read: %w", series, err)
	default:
		if err := json.Unmarshal(data, &s); err != nil || s.Series != series {
			return nil, fmt.Errorf("%s does not hold the state of series %q: remove it to learn anew", k.path(series, "state"), series)
		}
	}
	d := detect.New(detect.Setup{Probe: series, Settings: settings, State: s.State, Baseline: s.Baseline})
	file, err := os.OpenFile(k.path(series, "journal"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the journal of series %q cannot be opened: %w", series, err)
	}
	j := &journal{file: file, last: s.Last}
	k.journals[series] = j
	for lines := bufio.NewScanner(file); lines.Scan(); {
		p, err := parse(lines.Bytes())
		if err != nil {
			break // killed in the middle of the line: the point was not answered
		}
		if p.Series == series && p.T > s.Last {
			observe(d, p)
			j.points, j.last = j.points+1, p.T
		}
	}
	return d, k.save(series, j, d) // and so empties the journal of what was cut off
}

// note journals a point that was judged, before it is answered.
func (k *keeper) note(p point, d *detect.Detector) error {
	j := k.journals[p.Series]
	if j == nil {
		return nil
	}
	line, err := json.Marshal(p)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("a point of series %q cannot be kept: %w", p.Series, err)
	}
	j.last = max(j.last, p.T)
	if j.points++; j.points < snapshotEvery {
		return nil
	}
	return k.save(p.Series, j, d)
}

// save writes the whole state of a series and empties its journal.
func (k *keeper) save(series string, j *journal, d *detect.Detector) error {
	state := d.State()
	state.Latency = d.AppendLatency(nil)
	data, err := json.Marshal(snapshot{Series: series, Last: j.last, State: state, Baseline: d.AllBaseline()})
	if err == nil {
		path := k.path(series, "state")
		if err = os.WriteFile(path+".new", data, 0o600); err == nil {
			err = os.Rename(path+".new", path)
		}
	}
	if err == nil {
		err = j.file.Truncate(0)
	}
	if err != nil {
		return fmt.Errorf("what is learnt of series %q cannot be saved: %w", series, err)
	}
	j.points = 0
	return nil
}

// close saves every series.
func (k *keeper) close(all map[string]*detect.Detector) error {
	var errs []error
	for series, j := range k.journals {
		if d := all[series]; d != nil && j.points > 0 {
			errs = append(errs, k.save(series, j, d))
		}
		errs = append(errs, j.file.Close())
	}
	k.journals = nil
	return errors.Join(errs...)
}
