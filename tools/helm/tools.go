//go:build tools

// Package tools names the commands that this module pins and builds.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
