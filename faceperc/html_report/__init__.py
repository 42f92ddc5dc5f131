"""The HTML report: one file to look through many faces, and what `faceperc report` writes.

report.py     what a report holds, and how it is put together
inputs.py     images, folders and written results -> a Photograph each, or a failure
documents.py  a JSON document of ``Faces.to_dict`` -> its faces
rows.py       a table of `faceperc predict --out` -> such documents
facts.py      the results of a face, by KIND -> numbers, choices and labels to filter by
overlay.py    the same -> shapes to lay over the picture
confidence.py the faces in the order of how sure the models are
distributions.py  all faces -> histograms and counts
pictures.py   pixels -> data URIs of bounded size
page.py       everything -> the page (page.html, page.css, *.js)
template.py   how pages are filled in; base.css is the style that they share with `faceperc eval --html`
run.py        the command
"""
