//! strongroom-security-domain.
