package policy

import "slices"

// DefaultPath is where a repository keeps its policy file.
const DefaultPath = ".github/portcullis.yml"

// ownersPaths are the places in which GitHub looks for a CODEOWNERS file.
var ownersPaths = []string{"CODEOWNERS", ".github/CODEOWNERS", "docs/CODEOWNERS"}

// protectedPaths are always security-sensitive, whatever the policy says: who
// can change them can change what the gate asks for, or run code with the
// repository's own token.
func protectedPaths(policyPath string) []string {
	paths := append([]string{DefaultPath, ".github/workflows/**"}, ownersPaths...)
	if policyPath != "" && policyPath != DefaultPath {
		paths = append(paths, policyPath)
	}
	return paths
}

// Touches reports whether the pull request changes the file at path, under
// either of its names.
func (s Snapshot) Touches(path string) bool {
	return slices.ContainsFunc(s.Files, func(f File) bool { return slices.Contains(f.paths(), path) })
}
