// What else a program can ask, in HTTP.

import { useText } from "../text/text";
import type { Key } from "../text/en";

export function Calls({ id }: { id: string }) {
  const { t } = useText();
  const calls: [string, Key][] = [
    [`POST /${id}`, "calls.run"],
    [`POST /queue/${id}`, "calls.submit"],
    [`POST /queue/${id}?fal_webhook=https://…`, "calls.webhook"],
    ["GET /queue/…/requests/{id}/status", "calls.status"],
    ["GET /queue/…/requests/{id}/status/stream", "calls.statusStream"],
    ["GET /queue/…/requests/{id}", "calls.result"],
    ["PUT /queue/…/requests/{id}/cancel", "calls.cancel"],
    [`POST /${id}/stream`, "calls.stream"],
    ["POST /cdn/files/upload", "calls.upload"],
    ["GET /platform/v1/models", "calls.models"],
    ["GET /platform/v1/account/usage", "calls.usage"],
    ["GET /platform/v1/limits", "calls.limits"],
  ];
  return (
    <table className="stacked">
      <tbody>
        {calls.map(([call, about]) => (
          <tr key={call}>
            <th scope="row">
              <code>{call}</code>
            </th>
            <td>{t(about)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
