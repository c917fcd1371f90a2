package reference

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"

	"github.com/firstcall-agent/firstcall/probes"
)

// What an address may not hold in the clear: a password, where it may name a user (store.url, a proxy), or any credential, which the agent wants elsewhere.
const (
	withPassword    = `@.*@|^([a-z]+:/*)?[^/@]*:[^/@]*@|[?&]password=`
	withCredentials = `^([A-Za-z][-A-Za-z0-9+.]*:)?/*[^/?#]*@|[?&](access_token|api_?key|password|secret|sig|token)=`
)

// Chart returns the schema of the Helm chart's values: base, which has all but the configuration, with the configuration's own schema as
// definition "config". Secrets are narrowed to references, since the chart puts the configuration into a ConfigMap: a key that has a file
// beside it takes the name of an environment variable only, an address no credentials. A const says so in words: it is what Helm shows, and it shows no value then.
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
	definitions["config.headers"] = headers()
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

// headers returns the schema of request headers: of those whose values are no secret, in any case of letters, any text; of others a variable.
func headers() object {
	var names []string
	for _, name := range probes.PublicHeaders() {
		var pattern strings.Builder
		for _, letter := range name {
			if upper, lower := unicode.ToUpper(letter), unicode.ToLower(letter); upper != lower {
				pattern.WriteString("[" + string(upper) + string(lower) + "]")
			} else {
				pattern.WriteRune(letter)
			}
		}
		names = append(names, pattern.String())
	}
	variable := object{"if": object{"$ref": "#/definitions/config.variable"}, "else": object{"const": "${NAME}, a variable of extraEnv"}}
	return object{
		"type":                 "object",
		"patternProperties":    object{"^(" + strings.Join(names, "|") + ")$": object{"type": "string"}},
		"additionalProperties": variable,
	}
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
			case ok && key == "headers" && properties["url"] != nil: // those that are sent; the ones that are expected are no secret
				properties[key] = object{"$ref": "#/definitions/config.headers"}
			case ok && !file && p["type"] == "string" && (strings.HasSuffix(key, "url") || key == "smtp"):
				p["if"] = object{"pattern": withCredentials}
				p["then"] = object{"const": "an address without credentials, or ${NAME}"}
			case !file || !ok || key == "body": // a body seldom is a secret; one that is can be a file
			case key == "proxy" || key == "url" && properties["results_for"] != nil: // an address, which may be without a password
				p["if"] = object{"pattern": withPassword}
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
