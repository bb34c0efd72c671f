// A dialog over the page: the browser's own, so that focus, Escape and what lies behind are as they should be.

import { useEffect, useRef, type ReactNode } from "react";

import { useText } from "../text/text";
import { IconButton } from "./controls";

export function Dialog(props: { label: string; onClose: () => void; wide?: boolean; children: ReactNode }) {
  const { t } = useText();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    return () => shown.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className={props.wide ? "dialog wide" : "dialog"}
      aria-label={props.label}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onClick={(event) => event.target === dialog.current && props.onClose()}
    >
      <div className="dialog-body">
        <IconButton icon="close" label={t("common.close")} onClick={props.onClose} className="dialog-close" />
        {props.children}
      </div>
    </dialog>
  );
}
