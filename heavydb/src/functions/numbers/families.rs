//! Families of functions that the dialect does not give.

/// A family of names and the reason why it is refused. A `*` at the end of a pattern stands for any rest; letters match in both cases.
pub const REFUSED_FAMILIES: &[(&str, &str)] = &[
    ("ST_*", GEOMETRY),
    ("CastToGeography", GEOMETRY),
    ("HeavyDB_Geo_*", GEOMETRY),
    ("OmniSci_Geo_*", GEOMETRY),
    ("conv_4326_900913_*", GEOMETRY),
    ("approx_distance_in_meters", "it is computed with a graphics processor's approximations; use DISTANCE_IN_METERS"),
    ("H3_*", "cells of H3 are out of scope; compute them before loading"),
    ("geotoh3*", "cells of H3 are out of scope; compute them before loading"),
    ("h3togeo*", "cells of H3 are out of scope; compute them before loading"),
    ("rect_pixel_bin*", RENDERING),
    ("reg_hex_*", RENDERING),
    ("convert_meters_to_*", RENDERING),
    ("is_point_in_*", RENDERING),
    ("is_point_size_in_*", RENDERING),
    ("ML_*", MODELS),
    ("PCA_*", MODELS),
    ("UNNEST", "rows of arrays are not given; load one row for each element"),
    ("tf_*", "HeavyDB's table functions of rasters, graphs and models are out of scope"),
];

const GEOMETRY: &str = "geometry is out of scope";
const RENDERING: &str = "bins of pixels serve HeavyDB's renderer, which is out of scope";
const MODELS: &str = "HeavyDB's models are out of scope";

/// Why a name is refused, if its family is.
pub fn refused_family(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let matches = |pattern: &str| {
        let pattern = pattern.to_ascii_lowercase();
        pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
    };
    REFUSED_FAMILIES.iter().find(|(pattern, _)| matches(pattern)).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_match_by_their_start_in_any_case() {
        assert_eq!(refused_family("ST_Distance"), Some(GEOMETRY));
        assert_eq!(refused_family("st_xmax"), Some(GEOMETRY));
        assert_eq!(refused_family("rect_pixel_bin"), Some(RENDERING));
        assert_eq!(refused_family("CASTTOGEOGRAPHY"), Some(GEOMETRY));
        assert_eq!(refused_family("ml_predict"), Some(MODELS));
        assert_eq!(refused_family("stddev"), None);
        assert_eq!(refused_family("CastToGeographyX"), None);
        assert_eq!(refused_family(""), None);
    }
}
