"""The schemes, by family. Each module holds ``make(scheme, options)``, which gives a Quantizer."""
