package desk

import (
	"context"
	"net/http"
	"net/url"
)

// Attach implements Attacher. Whoever may read the record may read its files.
func (d *servicenow) Attach(ctx context.Context, ref string, _ Fields, file File) error {
	if err := file.check(); err != nil {
		return d.fail("attach to", ref, err)
	}
	if _, err := d.row(ctx, ref); err != nil {
		return d.fail("attach to", ref, unsure(err))
	}
	there, err := d.holds(ctx, ref, file.Name)
	if err != nil || there {
		if err != nil {
			err = d.fail("attach to", ref, unsure(err))
		}
		return err
	}
	address := d.url + "/api/now/attachment/file?" + url.Values{
		"table_name": {d.config.Table}, "table_sys_id": {ref}, "file_name": {file.Name},
	}.Encode()
	answer, err := authorized(ctx, d, func() (reply, error) {
		return d.link.write(ctx, http.MethodPost, address, file.Content, http.Header{"Content-Type": {file.Type}})
	})
	if err != nil {
		return d.fail("attach to", ref, err)
	}
	var row snowRecord
	if err := d.result(answer.body, '{', &row, ErrUnknownOutcome); err != nil {
		return d.fail("attach to", ref, err)
	}
	return nil
}

// holds reports whether the record has a file of that name.
func (d *servicenow) holds(ctx context.Context, ref, name string) (bool, error) {
	address := d.url + "/api/now/attachment?" + url.Values{
		"sysparm_query": {"table_sys_id=" + ref + "^file_name=" + name}, "sysparm_limit": {"10"},
	}.Encode()
	raw, err := authorized(ctx, d, func() ([]byte, error) { return d.link.get(ctx, address) })
	if err != nil {
		return false, err
	}
	var rows []snowRecord
	if err := d.result(raw, '[', &rows); err != nil {
		return false, err
	}
	for _, row := range rows { // a term that the instance does not know is left out of a query
		if string(row["file_name"]) == name && string(row["table_sys_id"]) == ref {
			return true, nil
		}
	}
	return false, nil
}
