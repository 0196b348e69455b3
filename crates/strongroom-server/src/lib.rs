//! strongroom-server.
