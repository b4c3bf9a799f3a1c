import { sentencesOf } from "../client/faults";
import { useChange } from "../client/useChange";
import { ConfirmDeletion } from "../design/ConfirmDeletion";
import { counted } from "../format";
import { type CustomerQuery, DeleteCustomerDocument } from "../graph/graphql";

/** The dialog that permanently deletes a customer, after the user has typed its email. */
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
          <strong>{counted(total, "license")}</strong>
          {customer.active.totalCount > 0 && <>, {customer.active.totalCount} of them active,</>} will also be
          deleted. Nobody can use {total === 1 ? "it" : "them"} afterwards. This cannot be undone.
        </p>
      )}
    </ConfirmDeletion>
  );
}
