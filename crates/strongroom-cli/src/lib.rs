//! strongroom-cli.
