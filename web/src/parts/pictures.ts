// What can be done with a picture that this server made.

// Saves it under its own name; a link alone would open it instead, as the server shows plain pictures where they are.
export async function download(url: string, name: string): Promise<void> {
  save(await (await fetch(url)).blob(), name);
}

export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Puts it on the clipboard, as PNG, which is all that browsers take there.
export async function copyPicture(url: string): Promise<void> {
  const png = async () => {
    const bitmap = await createImageBitmap(await (await fetch(url)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d")!.drawImage(bitmap, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  };
  await navigator.clipboard.write([new ClipboardItem({ "image/png": png() })]);
}

// Small pictures are shown pixel by pixel: smoothing them over a large area shows less.
export const isTiny = (width: number | null | undefined): boolean => width != null && width <= 128;
