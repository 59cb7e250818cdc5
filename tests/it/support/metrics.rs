//! `/metrics` read as numbers.

use std::collections::BTreeMap;

use super::api::Api;

/// One scrape: each series by its name with labels, as written.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    series: BTreeMap<String, f64>,
    /// Names that have a type.
    pub typed: BTreeMap<String, String>,
    /// Names that have a help text.
    pub helped: Vec<String>,
}

impl Scrape {
    pub async fn of(api: &mut Api) -> Self {
        let answer = api.send("GET", "/metrics", "", "").await.expect("/metrics answers");
        assert_eq!(answer.status.as_u16(), 200);
        Self::parse(std::str::from_utf8(&answer.body).expect("metrics are text"))
    }

    fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').expect("a name and a type");
                scrape.typed.insert(name.to_owned(), kind.to_owned());
            } else if let Some(help) = line.strip_prefix("# HELP ") {
                scrape.helped.push(help.split(' ').next().unwrap_or_default().to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a series and a value");
                scrape.series.insert(series.to_owned(), value.parse().expect("a number"));
            }
        }
        scrape
    }

    /// The sum of the series of `name` that have all of `labels`; `None` when there is none.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let is_it = |series: &str| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            found == name && wanted.iter().all(|label| rest.contains(label.as_str()))
        };
        let found: Vec<f64> = self.series.iter().filter(|(series, _)| is_it(series)).map(|(_, value)| *value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// As [`Self::find`], as a whole number; what must be there.
    #[track_caller]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no series {name} {labels:?}")) as u64
    }

    /// All series, name and labels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }
}
