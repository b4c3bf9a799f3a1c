declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  interface Options {
    domNode: HTMLElement;
    spec: object;
    /** The URL of a service that validates the document. If this is null, no service is used. */
    validatorUrl: null;
    defaultModelsExpandDepth: number;
    onComplete: () => void;
  }
  interface Ui {
    preauthorizeApiKey(scheme: string, key: string): void;
  }
  export default function SwaggerUI(options: Options): Ui;
}
