package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// maxSecret bounds the file of a secret or of a text.
const maxSecret = 64 << 10

// Load reads the configuration at path. The error is a Faults with everything that is wrong with it. Variables come from the
// process's environment.
func Load(path string) (*Config, error) {
	data, err := readFile(path, maxFile+1)
	if err != nil {
		return nil, Faults{{File: path, Message: "cannot be read: " + plain(err), Hint: "give the path of a configuration file, see docs/configuration.md", Err: err}}
	}
	return Parse(path, data, os.LookupEnv)
}

// Parse reads a configuration that is already in memory. name stands in faults, and paths in data are relative to its directory;
// env looks up ${VAR}. The error is a Faults with everything that is wrong.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	c, _, faults := parse(name, data, env)
	if len(faults) > 0 {
		return nil, faults
	}
	return c, nil
}

// parse is Parse that also tells, of a faulty file too, which files it names were read.
func parse(name string, data []byte, env func(string) (string, bool)) (*Config, []string, Faults) {
	d := newDecoder(name, data, env)
	c := &Config{File: name}
	if root := d.parse(data); root != nil {
		d.root(root, c)
		d.complete(c)
	}
	files := slices.Sorted(maps.Keys(d.files))
	c.Digest = digest(data, files)
	return c, files, d.finish()
}

// digest is the SHA-256 over the file and what the files of its secrets and texts hold now, in hexadecimal. A file that cannot be read counts as
// different from any that can.
func digest(data []byte, files []string) string {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "firstcall configuration %d\n", len(data))
	sum.Write(data)
	for _, file := range files {
		content, err := readFile(file, maxSecret+1)
		_, _ = fmt.Fprintf(sum, "\n%q %d %t\n", file, len(content), err == nil)
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// readFile returns at most limit bytes of a regular file: a pipe or a device could block the agent for ever.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(file, limit))
}

// plain returns the reason of a file error without the operation and the path, which stand beside it already.
func plain(err error) string {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathError.Err
	}
	return err.Error()
}

// beside returns path, relative to the directory of the configuration file unless it is absolute.
func (d *decoder) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.dir, path)
}
