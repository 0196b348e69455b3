//! strongroom-testkit.
