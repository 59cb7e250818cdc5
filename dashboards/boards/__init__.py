"""The Grafana boards, a module each; `python3 -m boards` writes them."""
