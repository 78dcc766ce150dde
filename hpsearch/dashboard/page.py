"""Additions to optuna-dashboard's page: a link to the reports, and styles.

The styles hide the buttons that would change something, as far as a selector can name them (the
guard refuses their requests anyway), and put the columns below each other on a phone.
"""

from __future__ import annotations

_STYLE = """
button[aria-label="rename study"], button[aria-label="delete study"],
button[aria-label="delete artifact"], button:has(> svg[data-testid="EditIcon"]),
button:has(svg[data-testid="AddBoxIcon"]),
.MuiGrid-item:has(input[type=file]), .MuiCard-root:has(input[type=file]) { display: none }
#hpsearch { position: fixed; right: 8px; bottom: 8px; z-index: 1 }
#hpsearch a { background: #fff; border: 1px solid #777; border-radius: 4px; padding: 4px 8px;
  color: #064787; font: 13px sans-serif }
@media (max-width: 700px) {
  main { min-width: 0 }
  main .MuiGrid-item { max-width: 100%; flex-basis: 100% }
  main .MuiGrid-item h3 { font-size: 1.6rem; overflow-wrap: anywhere }
  main .MuiContainer-root { padding: 0 8px }
  main .MuiContainer-root > div { width: 100%; margin: 8px 0 }
  main .MuiContainer-root > div > .MuiCard-root { width: 100%; margin: 8px 0 }
  main .MuiCardContent-root > .MuiBox-root { flex-wrap: wrap; gap: 8px }
  main .MuiTableContainer-root { overflow-x: auto }
  main > div > div:has(> div > ul.MuiList-root) { flex-direction: column; height: auto }
  main > div > div > div:has(> ul.MuiList-root) { width: 100%; height: 30vh; flex: none }
  main > div > div > div:has(> ul.MuiList-root) ~ div { min-width: 0; width: 100% }
}
"""

_LINK = '<nav id="hpsearch" aria-label="hpsearch"><a href="/report">hpsearch reports</a></nav>'


def with_ours(html: bytes) -> bytes:
    """Return optuna-dashboard's page with the link and the styles."""
    html = html.replace(b"</head>", f"<style>{_STYLE}</style></head>".encode(), 1)
    return html.replace(b"</body>", f"{_LINK}</body>".encode(), 1)
