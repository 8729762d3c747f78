"""One file per scheme. Each holds ``make(options)``, which gives its Quantizer."""
