//! strongroom-core.
