module lab/cert-manager

go 1.26.0

// Its definitions are read; nothing is built.
require github.com/cert-manager/cert-manager v1.19.1
