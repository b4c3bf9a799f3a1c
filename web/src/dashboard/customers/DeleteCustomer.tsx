import { sentencesOf } from "../client/faults";
import { useChange } from "../client/useChange";
import { ConfirmDeletion } from "../design/ConfirmDeletion";
import { counted } from "../format";
import { type CustomerQuery, DeleteCustomerDocument } from "../graph/graphql";

/** Deletes a customer for good, once its email has been typed. */
export function DeleteCustomer({
  customer,
  onClose,
  onDeleted,
}: {
  customer: NonNullable<CustomerQuery["customer"]>;
  onClose: () => void;
  onDeleted: (licenses: number) => void;
}) {
  const { run, pending, failure } = useChange(DeleteCustomerDocument, "deleteCustomer");
  const total = customer.licenses.totalCount;
  return (
    <ConfirmDeletion
      title="Delete customer"
      word={customer.email}
      wordIs="the customer's email"
      button="Delete customer"
      pending={pending}
      failure={failure}
      onClose={onClose}
      onConfirm={async () => {
        const outcome = await run({ id: customer.id });
        if (outcome.done) onDeleted(outcome.payload.deletedLicenseCount);
        return outcome.done ? null : sentencesOf(outcome.faults, { id: "the customer" });
      }}
    >
      {total === 0 ? (
        <p>The customer has no licenses. This cannot be undone.</p>
      ) : (
        <p>
          <strong>{counted(total, "license")}</strong> {total === 1 ? "goes" : "go"} with it
          {customer.active.totalCount > 0 && <>, {customer.active.totalCount} of them active</>}. Whoever uses
          one loses it. This cannot be undone.
        </p>
      )}
    </ConfirmDeletion>
  );
}
