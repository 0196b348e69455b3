//! strongroom-api.
