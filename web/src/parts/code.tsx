// Text for a machine, to read and to copy.

import { CopyButton } from "./controls";

export function Code({ text, label, snippet }: { text: string; label: string; snippet?: string }) {
  return (
    <div className="code-box">
      <CopyButton text={text} />
      <pre tabIndex={0} aria-label={label} data-snippet={snippet}>
        {text}
      </pre>
    </div>
  );
}
