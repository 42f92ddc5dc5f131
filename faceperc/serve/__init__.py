"""The service: `faceperc serve` answers images sent over HTTP. Needs the extra [serve]; see docs/serve.md."""
