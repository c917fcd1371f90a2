package reference

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Chart returns the schema of the Helm chart's values: base, which has all but the configuration, with the configuration's own schema as
// definition "config". Secrets are narrowed to references, since the chart puts the configuration into a ConfigMap: a key that has a file
// beside it takes the name of an environment variable only. A const says so in words: it is what Helm shows, and it shows no value then.
// Descriptions are left out, so that a release stays small.
func Chart(base, schema []byte) ([]byte, error) {
	var values, config object
	if err := json.Unmarshal(base, &values); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(bytes.ReplaceAll(schema, []byte(`"#/$defs/`), []byte(`"#/definitions/config.`)), &config); err != nil {
		return nil, err
	}
	definitions := values["definitions"].(map[string]any)
	for name, d := range config["$defs"].(map[string]any) {
		definitions["config."+name] = d
	}
	for _, key := range []string{"$defs", "$id", "$schema", "title"} {
		delete(config, key)
	}
	definitions["config"] = config
	for name, d := range definitions {
		if strings.HasPrefix(name, "config") {
			referOnly(d)
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(values)
	return out.Bytes(), err
}

// referOnly takes descriptions and defaults away, and values of secrets.
func referOnly(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			referOnly(item)
		}
	case map[string]any:
		properties, _ := v["properties"].(map[string]any)
		for key, p := range properties {
			_, file := properties[key+"_file"]
			p, ok := p.(map[string]any)
			switch {
			case !file || !ok || key == "body": // a body seldom is a secret; one that is can be a file
			case key == "proxy" || key == "url" && properties["results_for"] != nil: // an address, which may be without a password
				p["if"] = object{"pattern": `@.*@|^([a-z]+:/*)?[^/@]*:[^/@]*@|[?&]password=`}
				p["then"] = object{"const": "an address without a password, ${NAME}, or " + key + "_file"}
			default:
				properties[key] = object{"if": object{"$ref": "#/definitions/config.variable"}, "else": object{"const": "${NAME}, or " + key + "_file"}}
			}
		}
		for key, item := range v {
			if _, text := item.(string); text && key == "description" || key == "default" && properties == nil && v["type"] != nil {
				delete(v, key)
				continue
			}
			referOnly(item)
		}
	}
}
