// Reads a stack file with the Pulumi CLI's own reader, and prints as JSON what a program would be handed.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/common/encoding"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
)

type answer struct {
	Refused string            `json:"refused,omitempty"`
	Config  map[string]string `json:"config"`
}

func read(path string) answer {
	text, err := os.ReadFile(path)
	if err != nil {
		return answer{Refused: err.Error()}
	}
	var stack struct {
		Config config.Map `yaml:"config"`
	}
	if err := encoding.YAML.Unmarshal(text, &stack); err != nil {
		return answer{Refused: err.Error()}
	}
	values := map[string]string{}
	for key, value := range stack.Config {
		text, err := value.Value(config.NopDecrypter)
		if err != nil {
			return answer{Refused: fmt.Sprintf("%s: %s", key.String(), err)}
		}
		values[key.String()] = text
	}
	return answer{Config: values}
}

func main() {
	answers := map[string]answer{}
	for _, path := range os.Args[1:] {
		answers[path] = read(path)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
